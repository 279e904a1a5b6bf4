//! What a machine wrote to its console.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::{Ec2, failed};
use elephant_core::error::AwsError;
use elephant_core::machine::InstanceId;
use elephant_core::ports::Consoles;

impl Consoles for Ec2 {
    async fn read_console(&self, instance: &InstanceId) -> Result<Option<String>, AwsError> {
        let ask = |latest: bool| {
            let request = self.client.get_console_output().instance_id(instance.as_str());
            request.latest(latest).send()
        };
        let answer = match ask(true).await {
            Ok(answer) => answer,
            // Only machines on Nitro have the latest output. For others EC2 keeps the output of the start.
            Err(error) if is_unsupported(&error) => {
                ask(false).await.map_err(|error| failed("GetConsoleOutput", &error))?
            }
            Err(error) => return Err(failed("GetConsoleOutput", &error)),
        };
        Ok(answer.output().filter(|text| !text.is_empty()).map(to_text))
    }
}

fn is_unsupported<E: aws_sdk_ec2::error::ProvideErrorMetadata>(error: &E) -> bool {
    matches!(error.code(), Some("UnsupportedOperation" | "InvalidParameterCombination"))
}

/// EC2 sends base64; anything else is shown as it came.
fn to_text(output: &str) -> String {
    let plain: String = output.chars().filter(|c| !c.is_whitespace()).collect();
    match BASE64_STANDARD.decode(plain) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(_) => output.to_owned(),
    }
}
