//! Files in the system's cache and out of it, and reading them without more ado.

use std::error::Error;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

use rayon::iter::{IndexedParallelIterator, ParallelIterator};
use rayon::slice::ParallelSliceMut;

type Failure = Box<dyn Error>;

/// Bytes that a thread reads at once.
const CHUNK: usize = 4 << 20;

/// As many as there are cores.
pub fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Reads the file once, so that it is in the cache.
pub fn warm(path: &Path) -> Result<(), Failure> {
    let mut file = File::open(path)?;
    let mut buffer = vec![0; CHUNK];
    while file.read(&mut buffer)? > 0 {}
    Ok(())
}

/// Asks the system to drop the file from its cache, by the tool that every Linux has.
pub fn forget(path: &Path) -> Result<(), Failure> {
    File::open(path)?.sync_all()?;
    let output = Command::new("dd")
        .arg(format!("if={}", path.display()))
        .args(["iflag=nocache", "count=0", "status=none"])
        .output()?;
    if output.status.success() { Ok(()) } else { Err("dd could not drop the file's cache".into()) }
}

/// Every byte of a file into fresh memory, in parallel: what nobody can be faster than.
pub fn read(path: &Path, threads: usize) -> Result<(), Failure> {
    let file = File::open(path)?;
    let mut memory = vec![0_u8; usize::try_from(file.metadata()?.len())?];
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
    let read =
        |(index, chunk): (usize, &mut [u8])| file.read_exact_at(chunk, (index * CHUNK) as u64);
    pool.install(|| memory.par_chunks_mut(CHUNK).enumerate().try_for_each(read))?;
    std::hint::black_box(&memory);
    Ok(())
}
