"""``python -m server.cli``: what the image's ``flagee-server`` starts."""

from server.cli.root import main

if __name__ == "__main__":
    main()
