// Package rpc is the link between a terminal and the engine of a project: the wire (engine.proto), the rules of the socket
// that carries it, and how an engine is found or started. There is no TCP port anywhere: the peer is always the same user,
// on this machine or at the other end of an attach.
package rpc

// Needs protoc 3.21, protoc-gen-go v1.36.12 and protoc-gen-go-grpc v1.6.2 (go install, exact versions).
//go:generate protoc --go_out=. --go_opt=paths=source_relative --go-grpc_out=. --go-grpc_opt=paths=source_relative engine.proto
