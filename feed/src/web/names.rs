//! The securities' names, from a file of reference data.

use crate::web::code::Code;
use service::config::{self, Invalid};
use std::collections::HashMap;
use std::path::Path;

/// What names the file.
const KEY: &str = "web.names";

/// Names by security. The file is read whole: its size is the operator's business.
pub(super) type Names = HashMap<Code, String>;

/// Reads the columns `security_id`, `source` (102 or 101) and `name` of a CSV file; others are skipped, and so are lines that
/// begin with `#` and rows without a name.
///
/// # Errors
/// The file cannot be read, a column is missing, or a row names no security: with the line.
pub(super) fn load(path: &Path) -> Result<Names, Invalid> {
    let wrong = |problem: String| Invalid::in_file(KEY, path, problem);
    let text = config::read(KEY, path)?;
    let mut builder = csv::ReaderBuilder::new();
    let mut file = builder.comment(Some(b'#')).trim(csv::Trim::All).from_reader(text.as_bytes());
    let headers = file.headers().map_err(|error| wrong(error.to_string()))?.clone();
    let column = |name: &str| {
        let found = headers.iter().position(|header| header == name);
        found.ok_or_else(|| wrong(format!("no column `{name}`")))
    };
    let [id, source, name] = [column("security_id")?, column("source")?, column("name")?];
    let mut names = Names::new();
    for record in file.records() {
        let record = record.map_err(|error| wrong(error.to_string()))?;
        let line = record.position().map_or(0, csv::Position::line);
        let text = format!("{}.{}", &record[id], &record[source]);
        let code = text.parse::<Code>();
        let code = code.map_err(|error| wrong(format!("line {line}: \"{text}\": {error}")))?;
        if !record[name].is_empty() {
            names.insert(code, record[name].to_owned());
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load_text(text: &str) -> Result<Names, Invalid> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        load(file.path())
    }

    #[test]
    fn names_come_from_a_file_and_errors_name_the_line() {
        let names = load_text(
            "# the day's\nsecurity_id,source,board,name\n000001,102,main,平安银行\n600000,101,main,\n",
        );
        let names = names.unwrap();
        assert_eq!(names.get(&"000001.SZ".parse().unwrap()).map(String::as_str), Some("平安银行"));
        assert_eq!(names.len(), 1);
        let error = |text: &str| load_text(text).unwrap_err().to_string();
        assert!(error("security_id,source\n1,102\n").ends_with("no column `name`"));
        assert!(error("security_id,source,name\n,102,x\n").contains(": line 2: \".102\": expected a code"));
    }
}
