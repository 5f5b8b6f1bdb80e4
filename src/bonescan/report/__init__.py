"""What people and machines get: picture, table, label pictures, JSON, and the folder that holds them."""
