//! Go's values and library functions as templates see them: what `%v` prints, what a time layout means, how a version compares.
//!
//! Invariant: nothing here reads a clock, chance or a file; what needs them asks a [`World`]. Only what templates can reach is
//! here; no attempt is made at the rest of Go's library.

pub mod cast;
pub mod decimal;
pub mod float;
pub mod glob;
pub mod json;
pub mod path;
pub mod print;
pub mod quote;
pub mod regexp;
pub mod semver;
pub mod text;
pub mod time;
pub mod url;
pub mod value;
pub mod walk;
pub mod world;

pub use value::{List, ListType, Map, MapType, Str, Struct, StructType, Value};
pub use world::World;
