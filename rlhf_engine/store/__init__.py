"""The only package that speaks SQL: what people said, what runs said, and the folder that holds both."""
