//! What every verb's answer says to the metrics.

/// What an answer that is not an error says to the metrics.
pub trait Outcome {
    /// One of a few words.
    fn outcome(&self) -> &'static str;

    /// Whether the delivery launched or adopted a machine, and both ids are in the record now.
    fn launched(&self) -> bool {
        false
    }
}
