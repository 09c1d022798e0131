//! The payload and the result of a job as types of the program.

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::error::ClientError;
use super::job::JobInfo;

impl JobInfo {
    /// Reads the result of a completed job; a result that is missing is null.
    ///
    /// # Errors
    /// [`ClientError::NotCompleted`], with why the job failed if it did, and [`ClientError::WrongType`].
    pub fn result_as<T: DeserializeOwned>(&self) -> Result<T, ClientError> {
        if !self.is_completed() {
            return Err(ClientError::NotCompleted(Box::new(self.clone())));
        }
        self.read("result", self.result.as_deref())
    }

    /// Reads the payload. Jobs of a list have none, and neither has one whose payload was withheld: that is null.
    ///
    /// # Errors
    /// [`ClientError::WrongType`].
    pub fn payload_as<T: DeserializeOwned>(&self) -> Result<T, ClientError> {
        self.read("payload", self.payload.as_deref())
    }

    fn read<T: DeserializeOwned>(
        &self,
        what: &'static str,
        value: Option<&RawValue>,
    ) -> Result<T, ClientError> {
        let read = serde_json::from_str(value.unwrap_or(RawValue::NULL).get());
        read.map_err(|source| ClientError::WrongType { what, job: self.id.clone(), source })
    }
}
