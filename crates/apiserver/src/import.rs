//! Objects as upstream's API server stores them, made what this one stores: opened, decoded from protobuf or JSON, brought to the
//! storage version, and sealed again by the same configuration.
//!
//! Names, uids, managedFields and every other field stay; `resourceVersion` is the store's to give.

use api::{Key, Kinds, Value};
use bytes::Bytes;

use crate::codec;
use crate::encryption::{Rules, is_sealed};

/// Why an object is not taken.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the EncryptionConfiguration: {0}")]
    Configuration(String),
    #[error("{0}")]
    Sealed(String),
    #[error("it cannot be decoded: {0}")]
    Decode(String),
    #[error("{api_version} {kind} is served neither by skiff nor by a CustomResourceDefinition")]
    Unserved { api_version: String, kind: String },
    #[error("it cannot be brought to the version that is stored: {0}")]
    Convert(String),
}

/// An object that can be taken.
pub struct Taken {
    /// Its JSON.
    pub open: Bytes,
    /// The same as it is stored.
    pub stored: Bytes,
}

/// See the module.
pub struct Importer {
    kinds: Kinds,
    rules: Rules,
    /// `<group>/<plural>/` of what CustomResourceDefinitions define.
    custom: Vec<String>,
}

impl Importer {
    /// `encryption`: the EncryptionConfiguration that sealed what is imported, and seals it again.
    ///
    /// # Errors
    /// [`Error::Configuration`].
    pub fn new(encryption: Option<&Value>) -> Result<Importer, Error> {
        let rules = encryption.map(Rules::parse).transpose();
        Ok(Importer {
            kinds: api::kinds::builtin_serving(|_, _, _| true),
            rules: rules.map_err(|error| Error::Configuration(error.to_string()))?.unwrap_or_default(),
            custom: Vec::new(),
        })
    }

    /// The value that `key` had in upstream's store under `name`, as it is stored here. CustomResourceDefinitions come before their
    /// objects.
    ///
    /// # Errors
    /// Why it cannot be taken.
    pub fn take(&mut self, key: &Key, name: &str, value: Bytes) -> Result<Taken, Error> {
        let sealed = is_sealed(&value);
        // Upstream binds a sealed value to its own name of the object.
        let opened = self.rules.open_as(key, name.as_bytes(), value);
        let opened = opened.map_err(|error| Error::Sealed(error.to_string()))?;
        let open: Bytes = self.converted(key, &opened)?.into();
        let stored = match sealed {
            true => self.rules.seal(key, open.clone()).map_err(|error| Error::Sealed(error.to_string()))?,
            false => open.clone(),
        };
        Ok(Taken { open, stored })
    }

    /// The JSON of a value as it is stored here.
    ///
    /// # Errors
    /// [`Error::Sealed`].
    pub fn open(&self, key: &Key, stored: Bytes) -> Result<Bytes, Error> {
        self.rules
            .open_as(key, key.as_str().as_bytes(), stored)
            .map_err(|error| Error::Sealed(error.to_string()))
    }

    fn converted(&mut self, key: &Key, bytes: &[u8]) -> Result<Vec<u8>, Error> {
        let decoded = match bytes.starts_with(api::protobuf::MAGIC) {
            true => api::protobuf::decode(bytes).map_err(|error| error.to_string()),
            false => api::json::parse(bytes).map_err(|error| error.to_string()),
        };
        let mut value = decoded.map_err(Error::Decode)?;
        for field in ["resourceVersion", "selfLink"] {
            value.remove(&["metadata", field]);
        }
        if value.str_at(&["apiVersion"]) == "apiextensions.k8s.io/v1beta1" {
            definition(&mut value);
        }
        let (api_version, kind) =
            (value.str_at(&["apiVersion"]).to_string(), value.str_at(&["kind"]).to_string());
        let (group, version) = api_version.rsplit_once('/').unwrap_or(("", &api_version));
        let unserved = || Error::Unserved { api_version: api_version.clone(), kind: kind.clone() };
        let found = self.kinds.kind(group, &kind).filter(|kind| kind.version(version).is_some());
        let Some(row) = found else {
            if self.custom.contains(&key.resource().prefix()) {
                return Ok(api::object::stored(&value));
            }
            return Err(unserved());
        };
        let storage = self.kinds.storage_of(row);
        if storage.resource != key.resource() {
            return Err(unserved());
        }
        let failed = |status: crate::status::Status| Error::Convert(status.message().to_string());
        // Upstream fills in the defaults of what it reads too: some of them depend on what was set after the first time.
        if let Some(version) = row.version(version) {
            codec::default(row, version, &mut value);
        }
        codec::to_storage(row, storage, version, &mut value).map_err(failed)?;
        codec::canonical(storage, &mut value).map_err(failed)?;
        if kind == "CustomResourceDefinition" {
            let (group, plural) =
                (value.str_at(&["spec", "group"]), value.str_at(&["spec", "names", "plural"]));
            self.custom.push(format!("{group}/{plural}/"));
        }
        Ok(api::object::stored(&value))
    }
}

/// A CustomResourceDefinition as upstream stores it, in v1beta1, made the v1 that it is served as
/// (k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1/conversion.go): what all versions have alike stands beside them there.
fn definition(value: &mut Value) {
    value.set(&["apiVersion"], "apiextensions.k8s.io/v1");
    let Some(spec) = value.get_mut("spec") else { return };
    let version = spec.remove(&["version"]);
    let alike = [
        ("schema", spec.remove(&["validation"])),
        ("subresources", spec.remove(&["subresources"])),
        ("additionalPrinterColumns", spec.remove(&["additionalPrinterColumns"])),
        ("selectableFields", spec.remove(&["selectableFields"])),
    ];
    if spec.get("versions").is_none()
        && let Some(version) = version
    {
        let mut row = Value::object();
        row.set(&["name"], version);
        row.set(&["served"], true);
        row.set(&["storage"], true);
        spec.set(&["versions"], vec![row]);
    }
    for row in spec.get_mut("versions").and_then(Value::as_array_mut).into_iter().flatten() {
        for (field, of_all) in &alike {
            if let Some(of_all) = of_all.as_ref().filter(|_| row.get(field).is_none()) {
                row.set(&[*field], of_all.clone());
            }
        }
        let columns = row.get_mut("additionalPrinterColumns").and_then(Value::as_array_mut);
        for column in columns.into_iter().flatten() {
            if let Some(path) = column.remove(&["JSONPath"]) {
                column.set(&["jsonPath"], path);
            }
        }
    }
    if let Some(conversion) = spec.get_mut("conversion") {
        let client = conversion.remove(&["webhookClientConfig"]);
        let versions = conversion.remove(&["conversionReviewVersions"]);
        if let Some(client) = client {
            conversion.set(&["webhook", "clientConfig"], client);
            conversion.set(&["webhook", "conversionReviewVersions"], versions.unwrap_or_default());
        }
    }
    if spec.get("preserveUnknownFields").and_then(Value::as_bool) == Some(false) {
        spec.remove(&["preserveUnknownFields"]);
    }
}
