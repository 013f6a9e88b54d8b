module testbed-image

go 1.24.0
