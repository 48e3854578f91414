//! A cheap phone: a tenth of a core and 256 MB, by control groups (version 1), where this machine lets us make them.

use std::path::{Path, PathBuf};

use fieldbook_tests::demo::stage::Failure;

/// CPU time in each period of the same unit: a tenth of one core.
const QUOTA_US: u64 = 10_000;
const PERIOD_US: u64 = 100_000;
/// Memory, page cache included.
const MEMORY_BYTES: u64 = 256 * 1024 * 1024;

/// Control groups of one phone; removed when dropped.
pub struct Cage {
    folders: Vec<PathBuf>,
}

impl Drop for Cage {
    fn drop(&mut self) {
        for folder in &self.folders {
            let _ = std::fs::remove_dir(folder);
        }
    }
}

/// This process's group under the controller `name`.
fn own_group(name: &str) -> Result<PathBuf, Failure> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").map_err(|error| format!("/proc/self/cgroup: {error}"))?;
    let path = groups.lines().find_map(|line| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        controllers.split(',').any(|one| one == name).then_some(path)
    });
    let path = path.ok_or_else(|| format!("no control group (version 1) for {name}"))?;
    Ok(Path::new("/sys/fs/cgroup").join(name).join(path.trim_start_matches('/')))
}

impl Cage {
    /// Makes the groups.
    ///
    /// # Errors
    /// Why this machine does not let us.
    pub fn make() -> Result<Self, Failure> {
        let mut cage = Self { folders: Vec::new() };
        let limits: [(&str, &[(&str, u64)]); 2] = [
            ("cpu", &[("cpu.cfs_period_us", PERIOD_US), ("cpu.cfs_quota_us", QUOTA_US)]),
            ("memory", &[("memory.limit_in_bytes", MEMORY_BYTES)]),
        ];
        for (controller, limits) in limits {
            let folder = own_group(controller)?.join(format!("fieldbook-bench-{}", std::process::id()));
            std::fs::create_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
            cage.folders.push(folder.clone());
            for (file, value) in limits {
                let file = folder.join(file);
                std::fs::write(&file, value.to_string()).map_err(|error| format!("{}: {error}", file.display()))?;
            }
        }
        Ok(cage)
    }

    /// What starts a command inside.
    #[must_use]
    pub fn launcher(&self) -> Vec<String> {
        let enter: String =
            self.folders.iter().map(|folder| format!("echo $$ > '{}/cgroup.procs' && ", folder.display())).collect();
        ["sh", "-c", &format!("{enter}exec \"$@\""), "phone"].map(str::to_owned).to_vec()
    }
}
