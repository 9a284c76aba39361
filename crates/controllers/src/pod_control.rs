//! Making and deleting the pods of a workload, each told in an event of the workload. Upstream's PodControl.

use api::{Key, Resource};
use client::Delete;
use client::recorder::Regarding;
use client::writer::Error;
use serde_json::Value;

use crate::Context;

/// See the module.
pub struct PodControl<'a> {
    pub context: &'a Context,
    /// Of the workload and its pods.
    pub namespace: &'a str,
    /// The workload.
    pub regarding: Regarding,
}

impl PodControl<'_> {
    /// A namespace that is being deleted takes no pod, and the workload goes with it: that is no error.
    pub async fn create(&self, body: &Value) -> Result<(), Error> {
        match self.context.writer.create(&Resource::new("", "pods"), self.namespace, body).await {
            Ok(made) => {
                let text = format!("Created pod: {}", made.name);
                self.context.recorder.normal(&self.regarding, "SuccessfulCreate", text);
                Ok(())
            }
            Err(error) if error.namespace_terminating() => Ok(()),
            Err(error) => {
                let text = format!("Error creating: {}", error.message());
                self.context.recorder.warning(&self.regarding, "FailedCreate", text);
                Err(error)
            }
        }
    }

    /// Deletes the pod that has this uid; one that is gone already is fine.
    pub async fn delete(&self, name: &str, uid: &str) -> Result<(), Error> {
        let key = Key::new(&Resource::new("", "pods"), self.namespace, name);
        let options = Delete { uid: Some(uid), ..Delete::default() };
        match self.context.writer.delete(&key, options).await {
            Ok(_) => {
                let text = format!("Deleted pod: {name}");
                self.context.recorder.normal(&self.regarding, "SuccessfulDelete", text);
                Ok(())
            }
            Err(error) if error.is_not_found() => Ok(()),
            Err(error) => {
                let text = format!("Error deleting: {}", error.message());
                self.context.recorder.warning(&self.regarding, "FailedDelete", text);
                Err(error)
            }
        }
    }
}
