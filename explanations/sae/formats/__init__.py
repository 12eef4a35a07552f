"""Files of SAEs in the layouts of the field, read with torch, numpy and safetensors alone."""
