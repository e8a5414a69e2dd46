"""How connections and requests reach the application: everything that knows gunicorn from the inside."""
