"""Go's ``text/template`` with the Sprig functions that webhooks need, in an interpreter that always ends.

Pure: text and data in, text out; no file, no clock but the one it is given. ``template.py`` is the way in.
The language is that of https://pkg.go.dev/text/template without ``define``, ``template``, ``block`` and ``call``;
the functions are listed in docs/templates.md.
"""
