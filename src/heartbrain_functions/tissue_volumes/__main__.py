"""`python3 -m heartbrain_functions.tissue_volumes --input FOLDER --output FOLDER`."""

from heartbrain_functions.command import main
from heartbrain_functions.tissue_volumes.run import run

raise SystemExit(main("tissue_volumes", "Volumes of grey and white matter and fluid from a T1-weighted image.", run))
