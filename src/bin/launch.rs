//! Every function: which of them it is, its handler says.

use elephant_launch::functions;

/// One thread: Lambda hands an environment one event at a time, and a small function has a fraction of a core.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    functions::run().await
}
