//! What docs/integration.md and its Chinese sister quote is what the files say that they name.

use std::path::Path;

/// (file, code) of each block that names its file in a comment before it.
fn quotes(text: &str) -> Vec<(String, String)> {
    let mut quotes = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let named = line.strip_prefix("<!-- ").and_then(|line| line.strip_suffix(" -->"));
        let Some(file) = named else { continue };
        assert_eq!(lines.next(), Some("```rust"), "after the name {file}");
        let code: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        quotes.push((file.to_owned(), code.join("\n")));
    }
    quotes
}

#[test]
fn every_block_of_code_is_in_the_file_that_it_names() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for doc in ["docs/integration.md", "docs/integration.zh-CN.md"] {
        let text = std::fs::read_to_string(root.join(doc)).expect(doc);
        let quotes = quotes(&text);
        assert_eq!(quotes.len(), text.matches("```rust").count(), "{doc}: each block names its file");
        assert!(quotes.len() >= 5, "{doc} has code");
        for (file, code) in quotes {
            let source = std::fs::read_to_string(root.join(&file)).expect("the file");
            assert!(source.contains(&code), "{doc}: not in {file}:\n{code}");
        }
    }
}
