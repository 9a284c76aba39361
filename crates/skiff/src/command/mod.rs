//! The subcommands beside `server`, one a file.

pub mod backup;
pub mod check;
pub mod fleet;
pub mod import;
pub mod secrets_encrypt;
pub mod status;
pub mod uninstall;

/// How a command prints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    #[default]
    Table,
    Json,
}

/// A table in the form that `kubectl` prints: headings in capitals, columns apart by three spaces, no lines.
pub fn table(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = comfy_table::Table::new();
    table
        .load_preset(comfy_table::presets::NOTHING)
        .set_header(header.iter().map(|cell| cell.to_uppercase()));
    for row in rows {
        table.add_row(row);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 3));
    }
    table.trim_fmt()
}
