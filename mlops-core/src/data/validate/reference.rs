//! What is known of other tables: how many rows they have, and the keys that rules ask for.

use std::collections::HashMap;

use crate::data::{Column, DataType, Table};
use crate::error::{Error, Result};

use super::expectation::Expectation;
use super::keys::{KeyReader, KeySet};
use super::rule::Rule;

/// Another table: its rows, and for each rule about it the keys with the types of their columns.
#[derive(Clone, Debug, Default)]
pub(super) struct Reference {
    pub(super) rows: u64,
    keys: HashMap<usize, (Vec<DataType>, KeySet)>,
}

impl Reference {
    /// The keys for the rule with this number.
    pub(super) fn keys(&self, rule: usize) -> Option<&(Vec<DataType>, KeySet)> {
        self.keys.get(&rule)
    }

    /// Adds rows of the table called `name`.
    pub(super) fn add(
        &mut self,
        name: &str,
        table: &Table<'_>,
        expectations: &[Expectation],
        max_keys: u64,
    ) -> Result<()> {
        const OP: &str = "Validator::add_reference";
        for (index, expectation) in expectations.iter().enumerate() {
            let Rule::ForeignKey { table: other, references, .. } = &expectation.rule else { continue };
            if other != name {
                continue;
            }
            let columns = references.iter().map(|column| table.column(column)).collect::<Result<Vec<_>>>();
            let columns = columns.map_err(|e| e.with("table", name))?;
            let types: Vec<DataType> = columns.iter().map(|column| column.data_type()).collect();
            let reader = KeyReader::new(columns);
            let (known, set) = self.keys.entry(index).or_insert_with(|| (types.clone(), reader.set()));
            if *known != types {
                let message = "has columns of other types than its earlier rows";
                return Err(Error::invalid(OP, "table", message).with("table", name));
            }
            let mut buffer = Vec::new();
            let whole =
                |row: &usize| reader.columns().iter().all(|column: &&Column<'_>| column.is_valid(*row));
            for row in (0..table.rows()).filter(whole) {
                set.insert(reader.key(row, &mut buffer));
            }
            if set.kept() > max_keys {
                return Err(Error::limit(OP, "the number of keys", max_keys, set.kept()).with("table", name));
            }
        }
        self.rows += table.rows() as u64;
        Ok(())
    }
}
