//! Benchmarks that concern no single crate: the data paths with everything on them but the sockets. All of it is in
//! `benches/`; what concerns one crate stands beside that crate's code (`cargo bench -p NAME`).
