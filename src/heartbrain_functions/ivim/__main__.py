"""`python3 -m heartbrain_functions.ivim --input FOLDER --output FOLDER`."""

from heartbrain_functions.command import main
from heartbrain_functions.ivim.run import run

raise SystemExit(main("ivim", "Perfusion and diffusion maps of a series with many b-values.", run))
