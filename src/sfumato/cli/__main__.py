"""`python -m sfumato.cli`: the same as the installed command. Start reading at `sfumato.cli.main`."""

from sfumato.cli import main

if __name__ == "__main__":
    main()
