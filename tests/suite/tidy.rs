//! The project's own rules that no compiler checks: lengths, arrows, words (docs/TESTING.md).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use syn::spanned::Spanned;
use syn::visit::Visit;

const FILE_LINES_MAX: usize = 600;
const FUNCTION_LINES_MAX: usize = 70;

/// Module of core -> modules that it may use (its arrows). [`FREE`] is what all may use.
const ARROWS: &[(&str, &[&str])] = &[
    ("forms", &[]),
    ("protocol", &[]),
    ("document", &["forms", "protocol"]),
    ("intake", &["document", "forms", "protocol"]),
    ("sync", &["document", "protocol", "intake", "forms"]),
    ("store", &["document", "forms", "protocol"]),
    ("net", &["protocol"]),
    ("client", &["net", "store", "sync", "document", "forms", "protocol", "intake"]),
];
const FREE: &[&str] = &["ids", "access", "limits", "ports", "search"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

fn files(dir: &Path, extension: &str, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if !["target", ".git", "node_modules", "generated"].contains(&name.as_str()) {
                files(&path, extension, found);
            }
        } else if path.extension().is_some_and(|e| e == extension) {
            found.push(path);
        }
    }
}

fn sources(extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    files(&root(), extension, &mut found);
    found.sort();
    found
}

#[derive(Default)]
struct Functions {
    long: Vec<(String, usize)>,
    seen: usize,
}

impl Functions {
    fn measure(&mut self, name: &syn::Ident, block: &syn::Block) {
        let lines = block.span().end().line - block.span().start().line + 1;
        self.seen += 1;
        if lines > FUNCTION_LINES_MAX {
            self.long.push((name.to_string(), lines));
        }
    }
}

impl<'ast> Visit<'ast> for Functions {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.measure(&item.sig.ident, &item.block);
        syn::visit::visit_item_fn(self, item);
    }
    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.measure(&item.sig.ident, &item.block);
        syn::visit::visit_impl_item_fn(self, item);
    }
}

#[test]
fn files_and_functions_are_short() {
    let mut faults = Vec::new();
    let mut functions_seen = 0;
    for extension in ["rs", "kt", "swift", "ts", "tsx"] {
        for path in sources(extension) {
            let lines = std::fs::read_to_string(&path).unwrap().lines().count();
            if lines > FILE_LINES_MAX {
                faults.push(format!("{}: {lines} lines, at most {FILE_LINES_MAX}", path.display()));
            }
        }
    }
    for path in sources("rs") {
        let text = std::fs::read_to_string(&path).unwrap();
        let parsed = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut functions = Functions::default();
        functions.visit_file(&parsed);
        functions_seen += functions.seen;
        for (name, lines) in functions.long {
            faults.push(format!("{}: fn {name} has {lines} lines, at most {FUNCTION_LINES_MAX}", path.display()));
        }
    }
    assert!(functions_seen > 100, "only {functions_seen} functions found: the test looks in the wrong place");
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[derive(Default)]
struct Uses(BTreeSet<String>);

impl<'ast> Visit<'ast> for Uses {
    fn visit_path(&mut self, path: &'ast syn::Path) {
        let mut segments = path.segments.iter();
        if segments.next().is_some_and(|first| first.ident == "crate")
            && let Some(second) = segments.next()
        {
            self.0.insert(second.ident.to_string());
        }
        syn::visit::visit_path(self, path);
    }
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        if let syn::UseTree::Path(first) = &item.tree
            && first.ident == "crate"
        {
            match &*first.tree {
                syn::UseTree::Path(second) => drop(self.0.insert(second.ident.to_string())),
                syn::UseTree::Name(second) => drop(self.0.insert(second.ident.to_string())),
                syn::UseTree::Group(group) => {
                    for tree in &group.items {
                        if let syn::UseTree::Path(second) = tree {
                            self.0.insert(second.ident.to_string());
                        }
                    }
                }
                _ => {}
            }
        }
    }
}

#[test]
fn modules_of_core_keep_their_arrows() {
    let mut faults = Vec::new();
    let mut used = BTreeSet::new();
    for (module, allowed) in ARROWS {
        let mut found = Vec::new();
        files(&root().join("core/src").join(module), "rs", &mut found);
        assert!(!found.is_empty(), "core/src/{module} is gone");
        for path in found {
            let mut uses = Uses::default();
            uses.visit_file(&syn::parse_file(&std::fs::read_to_string(&path).unwrap()).unwrap());
            for target in uses.0 {
                used.insert((*module, target.clone()));
                if target != *module && !FREE.contains(&target.as_str()) && !allowed.contains(&target.as_str()) {
                    faults.push(format!("{} uses crate::{target}: {module} may use {allowed:?}", path.display()));
                }
            }
        }
    }
    assert!(
        used.contains(&("document", "forms".to_owned())),
        "no use of forms seen in document: the test sees nothing"
    );
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn crates_depend_in_one_direction() {
    let manifest = |name: &str| std::fs::read_to_string(root().join(name).join("Cargo.toml")).unwrap();
    let uses = |name: &str, what: &str| manifest(name).lines().any(|line| line.starts_with(what));
    assert!(!uses("server", "fieldbook-bindings") && !uses("bindings", "fieldbook-server"));
    assert!(!uses("core", "fieldbook-server") && !uses("core", "fieldbook-bindings"));
    let core_in_server = manifest("server").lines().find(|l| l.starts_with("fieldbook-core")).unwrap().to_owned();
    assert!(!core_in_server.contains("client"), "the server must build without the phone's half");
}

#[test]
fn every_file_of_the_suite_is_registered() {
    let main = std::fs::read_to_string(root().join("tests/suite/main.rs")).unwrap();
    for entry in std::fs::read_dir(root().join("tests/suite")).unwrap() {
        let name = entry.unwrap().file_name().to_string_lossy().into_owned();
        let module = name.trim_end_matches(".rs");
        if module != "main" {
            assert!(main.contains(&format!("mod {module};")), "tests/suite/{name} is compiled by nobody");
        }
    }
}

#[test]
fn nothing_is_left_unfinished_or_unexplained() {
    let marks = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("to", "do!("), concat!("unimple", "mented!(")];
    let mut faults = Vec::new();
    for extension in ["rs", "kt", "toml", "md", "sh"] {
        for path in sources(extension) {
            let text = std::fs::read_to_string(&path).unwrap();
            for (number, line) in text.lines().enumerate() {
                if let Some(mark) = marks.iter().find(|mark| line.contains(**mark)) {
                    faults.push(format!("{}:{}: {mark}", path.display(), number + 1));
                }
                if line.contains(concat!("#[ig", "nore")) && !line.contains("= \"") {
                    faults.push(format!("{}:{}: ignored without a reason", path.display(), number + 1));
                }
            }
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}
