//go:build race

package main

// raceBuild: the race detector also checks pointers, which the Go backend of the network does not pass.
const raceBuild = true
