"""Keep what is indexed of a folder as the folder is: what has to be done, doing it, and watching."""
