"""Bytes to arrays and back, and nothing else.

``types``      media types, Accept and Content-Type
``npy``        NumPy's file format, its header read by hand
``numbers``    strict JSON arrays
``multipart``  multipart/form-data, both ways
``bodies``     a request body into named arrays and parameters, and its inverse
``answers``    an array into JSON, npy, raw bytes or CSV, and its inverse
"""
