package main

import "os"

func ignoreCheckpoint() {}

func notifyCheckpoint(chan<- os.Signal) {}
