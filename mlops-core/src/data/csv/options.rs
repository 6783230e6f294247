//! How a CSV file is read.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::data::text::strings;
use crate::data::{DataType, Schema};
use crate::error::{Error, Result};

use super::OP;

/// How to read a CSV file.
///
/// ```
/// use mlops_core::data::CsvOptions;
///
/// let adult = CsvOptions::default().with_columns(["age", "workclass"]).with_trim(true).with_null_values(["?"]);
/// assert!(!adult.has_header);
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CsvOptions {
    /// Whether the first row names the columns. Default true.
    pub has_header: bool,
    /// The names of all columns, in order: of a file without a header row, or instead of the one it has.
    pub columns: Option<Vec<String>>,
    /// The columns to keep, in this order; all when `None`. The others are checked, but not kept.
    pub select: Option<Vec<String>>,
    /// Types of columns, by name, where they shall not be inferred. A value that is not of its type is an error. Leading zeros
    /// are allowed in numbers then.
    pub types: BTreeMap<String, DataType>,
    /// The same for columns that need not be there; what `types` says goes first.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub expected: BTreeMap<String, DataType>,
    /// Texts that stand for "missing", besides the empty one.
    pub null_values: Vec<String>,
    /// What stands between fields: an ASCII character, but no quote and no line end. Default a comma.
    pub separator: char,
    /// Whether blanks and tabs around fields are dropped. Those inside quotes stay.
    pub trim: bool,
}

impl Default for CsvOptions {
    fn default() -> Self {
        Self {
            has_header: true,
            columns: None,
            select: None,
            types: BTreeMap::new(),
            expected: BTreeMap::new(),
            null_values: Vec::new(),
            separator: ',',
            trim: false,
        }
    }
}

impl CsvOptions {
    /// Names all columns of a file without a header row. Where there is one that shall be replaced, set `has_header` after.
    #[must_use]
    pub fn with_columns<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.columns = Some(strings(names));
        self.with_header(false)
    }

    /// Sets whether the first row names the columns.
    #[must_use]
    pub fn with_header(mut self, has_header: bool) -> Self {
        self.has_header = has_header;
        self
    }

    /// Keeps these columns only.
    #[must_use]
    pub fn with_select<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.select = Some(strings(names));
        self
    }

    /// Gives a column's type.
    #[must_use]
    pub fn with_type(mut self, column: impl Into<String>, data_type: DataType) -> Self {
        self.types.insert(column.into(), data_type);
        self
    }

    /// Gives columns the types that a schema gives them, where the file has them. Whether all are there is for
    /// [validation](crate::data::Expectations::from_schema) to say.
    ///
    /// ```
    /// use mlops_core::data::{CsvOptions, DataType, Field, Schema, parse_csv};
    /// let schema = Schema::new(vec![Field::new("code", DataType::Category), Field::new("age", DataType::I64)])?;
    /// let table = parse_csv(b"code\n1\n2\n", &CsvOptions::default().with_schema(&schema))?;
    /// assert_eq!(table.column("code")?.data_type(), DataType::Category);
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    #[must_use]
    pub fn with_schema(mut self, schema: &Schema) -> Self {
        self.expected = schema.fields().iter().map(|field| (field.name.clone(), field.data_type)).collect();
        self
    }

    /// Sets the texts that stand for "missing".
    #[must_use]
    pub fn with_null_values<S: Into<String>>(mut self, texts: impl IntoIterator<Item = S>) -> Self {
        self.null_values = strings(texts);
        self
    }

    /// Sets what stands between fields.
    #[must_use]
    pub fn with_separator(mut self, separator: char) -> Self {
        self.separator = separator;
        self
    }

    /// Sets whether blanks and tabs around fields are dropped.
    #[must_use]
    pub fn with_trim(mut self, trim: bool) -> Self {
        self.trim = trim;
        self
    }

    pub(super) fn separator_byte(&self) -> Result<u8> {
        u8::try_from(self.separator)
            .ok()
            .filter(|byte| byte.is_ascii() && !matches!(byte, b'"' | b'\r' | b'\n' | 0))
            .ok_or_else(|| {
                let message = "must be an ASCII character, but no quote, line end or NUL";
                Error::invalid(OP, "separator", message).with("separator", self.separator)
            })
    }
}
