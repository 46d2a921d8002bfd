//! The securities' names, from a file of reference data.

use crate::web::code::Code;
use anyhow::Context as _;
use std::collections::HashMap;
use std::path::Path;

/// Names by security. The file is read whole: its size is the operator's business.
pub(super) type Names = HashMap<Code, String>;

/// Reads the columns `security_id`, `source` (102 or 101) and `name` of a CSV file; others are skipped, and so are lines that
/// begin with `#` and rows without a name.
///
/// # Errors
/// The file cannot be read, a column is missing, or a row names no security: with the line.
pub(super) fn load(path: &Path) -> anyhow::Result<Names> {
    let at = || path.display();
    let file = csv::ReaderBuilder::new().comment(Some(b'#')).trim(csv::Trim::All).from_path(path);
    let mut file = file.with_context(|| format!("cannot read {}", at()))?;
    let headers = file.headers().with_context(|| format!("cannot read {}", at()))?.clone();
    let column = |name: &str| {
        let found = headers.iter().position(|header| header == name);
        found.with_context(|| format!("{}: no column `{name}`", at()))
    };
    let [id, source, name] = [column("security_id")?, column("source")?, column("name")?];
    let mut names = Names::new();
    for record in file.records() {
        let record = record.with_context(|| format!("cannot read {}", at()))?;
        let line = record.position().map_or(0, csv::Position::line);
        let text = format!("{}.{}", &record[id], &record[source]);
        let code: Code = text.parse().with_context(|| format!("{}:{line}: \"{text}\"", at()))?;
        if !record[name].is_empty() {
            names.insert(code, record[name].to_owned());
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load_text(text: &str) -> anyhow::Result<Names> {
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
        let error = |text: &str| format!("{:#}", load_text(text).unwrap_err());
        assert!(error("security_id,source\n1,102\n").ends_with("no column `name`"));
        assert!(error("security_id,source,name\n,102,x\n").contains(":2: \".102\": expected a code"));
    }
}
