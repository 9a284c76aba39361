//! The kinds of storage.k8s.io. Adding one is one file and one line in each list.

use crate::kinds::Builtin;

mod csi_driver;
mod csi_node;
mod csi_storage_capacity;
pub mod storage_class;
mod volume_attachment;
mod volume_attributes_class;

pub const ALL: &[Builtin] = &[
    csi_driver::KIND,
    csi_node::KIND,
    csi_storage_capacity::KIND,
    storage_class::KIND,
    volume_attachment::KIND,
    volume_attributes_class::KIND,
];
