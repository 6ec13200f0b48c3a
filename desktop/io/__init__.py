"""The small input/output pool: decoding, thumbnails, headers. Nothing here touches a widget."""
