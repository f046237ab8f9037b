//! Where something stands in an uploaded file, and what is wrong there.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{fmt, sync::Arc};

/// So many errors of one file are listed; more would be the wrong file.
pub const ERRORS_LIMIT: usize = 1_000;

/// A line of an uploaded file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Place {
    /// The name of the upload.
    #[serde(serialize_with = "write_text", deserialize_with = "read_text")]
    #[schema(value_type = String)]
    pub file: Arc<str>,
    /// The line, from 1; 0 where the whole file is meant.
    pub line: u32,
    /// The column in characters, from 1, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<u32>,
}

impl Place {
    /// A line without a column.
    pub fn new(file: &Arc<str>, line: u32) -> Self {
        Self { file: file.clone(), line, column: None }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)?;
        self.column.map_or(Ok(()), |column| write!(f, ":{column}"))
    }
}

/// Something that stops the import: where, what is wrong, what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ImportError {
    /// Where it stands.
    pub place: Place,
    /// A sentence for the person who wrote the file.
    pub message: String,
}

impl ImportError {
    /// An error at a place.
    pub fn new(place: Place, message: impl Into<String>) -> Self {
        Self { place, message: message.into() }
    }
}

impl fmt::Display for ImportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

/// The errors of one file, collected up to [`ERRORS_LIMIT`].
#[derive(Debug)]
pub(super) struct Errors {
    file: Arc<str>,
    found: Vec<ImportError>,
}

impl Errors {
    pub(super) fn new(file: &Arc<str>) -> Self {
        Self { file: file.clone(), found: Vec::new() }
    }

    /// Notes an error at a line.
    pub(super) fn at(&mut self, line: u32, message: impl fmt::Display) {
        self.push(Place::new(&self.file, line), message);
    }

    /// Notes an error at a line and column.
    pub(super) fn at_column(&mut self, line: u32, column: u32, message: impl fmt::Display) {
        let place = Place { column: Some(column), ..Place::new(&self.file, line) };
        self.push(place, message);
    }

    pub(super) fn push(&mut self, place: Place, message: impl fmt::Display) {
        match self.found.len() {
            len if len < ERRORS_LIMIT => self.found.push(ImportError::new(place, message.to_string())),
            ERRORS_LIMIT => self.found.push(ImportError::new(place, "more errors follow and are not listed: is this the right kind of file?")),
            _ => {}
        }
    }

    pub(super) fn into_vec(self) -> Vec<ImportError> {
        self.found
    }
}

fn write_text<S: Serializer>(text: &Arc<str>, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(text)
}

fn read_text<'de, D: Deserializer<'de>>(from: D) -> Result<Arc<str>, D::Error> {
    String::deserialize(from).map(Into::into)
}
