"""`python -m photoqual`: the command line from the folder you stand in, which is how DVC runs a stage."""

from photoqual.cli import main

if __name__ == "__main__":
    main()
