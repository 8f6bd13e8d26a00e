//! stub
use super::*;
/// f
pub struct MemoryFault;
/// f
pub struct MemoryOperation;
/// f
pub struct MemoryRegistry;
impl MemoryRegistry {
    /// n
    pub fn new(_: &Environment) -> Self {
        Self
    }
    /// r
    pub fn registry(&self) -> Registry {
        todo!()
    }
}
