.PHONY: help lint test docs
.DEFAULT_GOAL := help

help:  ## show the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 8

lint:  ## ruff, format, types
	ruff check .
	ruff format --check .
	mypy

test:  ## all tests, with the examples in the docstrings
	pytest

docs:  ## the examples in the docstrings alone
	pytest mlflow_ext
