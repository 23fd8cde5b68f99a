// Package turbo decodes JPEGs with libjpeg-turbo where the program was built with it: go build -tags turbojpeg, with a C compiler and
// libjpeg-turbo's headers (libjpeg62-turbo-dev, libjpeg-turbo-devel), which pkg-config must find. Like package baseline it is a shortcut
// that judges nothing: whatever the library warns of it refuses.
package turbo
