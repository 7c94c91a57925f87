"""The query language: text -> AST -> SQL over indexed tables."""
