"""Why a photo got its rating, at three levels: a sentence, a panel, everything."""
