"""Pictures from elsewhere (`PictureSource`)."""
