// Package faultfs is a file system for tests that fails on demand: full, over quota, broken, read-only, slow, hanging, and without power. It is
// mounted by FUSE, so that what is tested is the program with the system calls that it really makes, also in processes of its own, and it is
// controlled while it is mounted.
//
// Files live in memory, twice: as they are read now, and as they are on disk. What was done since the last fsync of a file (writes, truncations) or of a
// folder (names made, changed and removed) is a list between the two. A power cut makes the file system anew of what is on disk and of none, a beginning,
// or any part of those lists, in which a write may be torn at sectors of 512 bytes, as LazyFS does it (Ramos et al., PVLDB 17, 2024) and as no
// file system promises not to. So it is stricter than ext4: a name is on disk only when its folder was synced. A failed fsync forgets what
// it should have written, as Linux does (Rebello et al., USENIX ATC 2020): another fsync that works does not bring it back.
//
// The content is not that of another folder, which is what a loopback would be: the two states then are two maps, and not two trees of files that
// have to be kept alike.
package faultfs
