from hypothesis import settings

# A busy machine makes single examples slow without anything being wrong.
settings.register_profile("no_deadline", deadline=None)
settings.load_profile("no_deadline")
