// Package report draws what the verbs found as one HTML page that needs nothing else:
// no network, no other files.
package report
