package roster_test

import (
	"testing/synctest"
	"time"
)

// synctestSleep lets the bubble's clock go on until all is told.
func synctestSleep() {
	<-time.After(time.Minute)
	synctest.Wait()
}

// synctestTick lets it go on for a tick of the announcements.
func synctestTick() {
	<-time.After(200 * time.Millisecond)
	synctest.Wait()
}
