"""Names and order that every part of the weld pipeline shares.

Source of classes and sensor columns: Intel Robotic Welding Multimodal Dataset (arXiv 2409.02290); the class
index is the two-digit code at the end of a weld folder's name.
"""

MODALITIES = ("video", "image", "audio", "sensor")

CLASS_NAMES = (
    "Good",
    "Excessive_Penetration",
    "Burnthrough",
    "Porosity",
    "Porosity_w_Excessive_Penetration",
    "Undercut",
    "Overlap",
    "Lack_of_Fusion",
    "Excessive_Convexity",
    "Spatter",
    "Warping",
    "Crater_Cracks",
)
GOOD = CLASS_NAMES.index("Good")

SENSOR_COLUMNS = (
    "Pressure",
    "CO2 Weld Flow",
    "Feed",
    "Primary Weld Current",
    "Wire Consumed",
    "Secondary Weld Voltage",
)
