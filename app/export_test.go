package app

// RunHearing is Run that reloads by a channel in place of SIGHUP.
var RunHearing = run
