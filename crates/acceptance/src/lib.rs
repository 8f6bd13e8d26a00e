//! A grid of real processes on a real etcd. The program `grid-peer` is one peer; the tests run
//! several, and stop, kill and cut them off.
