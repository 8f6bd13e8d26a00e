//! A grid of real processes on a real etcd. The program `grid-peer` is one peer; the tests run
//! several of them, and stop, kill or disconnect them.
