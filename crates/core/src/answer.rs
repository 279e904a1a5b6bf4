//! What every answer of a verb can be asked.

/// What an answer that is no error says to the metrics.
pub trait Outcome {
    /// One word of few.
    fn outcome(&self) -> &'static str;

    /// Whether the delivery launched or adopted a machine, and both ids stand in the record now.
    fn launched(&self) -> bool {
        false
    }
}
