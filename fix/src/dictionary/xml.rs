//! The tables as a data dictionary in the format that QuickFIX and its kin read.

use std::fmt::{self, Write};

use super::{FIELDS, HEADER, Kind, MESSAGES, field};

/// The data dictionary that is shipped as `docs/fix/TONGDAO-FIX44.xml`.
#[must_use]
pub fn xml() -> String {
    let mut out = String::new();
    write_all(&mut out).expect("invariant: writing to a String does not fail");
    out
}

fn write_all(out: &mut String) -> fmt::Result {
    writeln!(out, "<fix type=\"FIX\" major=\"4\" minor=\"4\">")?;
    writeln!(out, "  <header>")?;
    write_fields(out, HEADER, "    ")?;
    writeln!(out, "  </header>\n  <trailer>")?;
    write_fields(out, &[(10, true)], "    ")?;
    writeln!(out, "  </trailer>\n  <messages>")?;
    for message in MESSAGES {
        let category = if message.admin { "admin" } else { "app" };
        let (name, msg_type) = (message.name, message.msg_type);
        writeln!(out, "    <message name=\"{name}\" msgtype=\"{msg_type}\" msgcat=\"{category}\">")?;
        write_fields(out, message.fields, "      ")?;
        writeln!(out, "    </message>")?;
    }
    writeln!(out, "  </messages>\n  <components/>\n  <fields>")?;
    for field in FIELDS {
        let (number, name, kind) = (field.tag, field.name, kind_name(field.kind));
        let end = if field.values.is_empty() { "/>" } else { ">" };
        writeln!(out, "    <field number=\"{number}\" name=\"{name}\" type=\"{kind}\"{end}")?;
        for (code, description) in field.values {
            writeln!(out, "      <value enum=\"{code}\" description=\"{description}\"/>")?;
        }
        if !field.values.is_empty() {
            writeln!(out, "    </field>")?;
        }
    }
    writeln!(out, "  </fields>\n</fix>")
}

fn write_fields(out: &mut String, fields: &[(u32, bool)], indent: &str) -> fmt::Result {
    for &(tag, required) in fields {
        let name = field(tag).map_or("", |field| field.name);
        let required = if required { 'Y' } else { 'N' };
        writeln!(out, "{indent}<field name=\"{name}\" required=\"{required}\"/>")?;
    }
    Ok(())
}

const fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Int => "INT",
        Kind::SeqNum => "SEQNUM",
        Kind::Length => "LENGTH",
        Kind::Char => "CHAR",
        Kind::Boolean => "BOOLEAN",
        Kind::Text => "STRING",
        Kind::Exchange => "EXCHANGE",
        Kind::Data => "DATA",
        Kind::Price => "PRICE",
        Kind::Qty => "QTY",
        Kind::UtcTimestamp => "UTCTIMESTAMP",
    }
}
