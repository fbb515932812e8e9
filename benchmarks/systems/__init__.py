"""The systems compared, each behind the same few verbs; a module is imported only in the process that measures its system."""
